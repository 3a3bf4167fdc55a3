"""How cost grows with the size of images and the number of associations, rules, stations, debts.

make growth                   writes docs/growth/*.svg and docs/GROWTH.md
make growth ARGS=--quick      small numbers, in a minute, written into build/growth/
"""
