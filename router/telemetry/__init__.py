"""What the router tells: log lines and metrics. No patient attribute enters either."""
