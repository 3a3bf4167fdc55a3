"""Pixels: frames decoded, encoded and drawn, only where somebody asked for another form of them.

The one door to numpy, Pillow and the codecs, which are the extra `pixel`. None of them is loaded into
a process of the router: a child that holds nothing but one frame does the work (codecs, child).
"""
