"""What the tests share: real peers, scripted peers, synthetic data, and tools that break things."""
