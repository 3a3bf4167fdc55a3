"""What a station can do: one file for each kind, none of which knows another."""
