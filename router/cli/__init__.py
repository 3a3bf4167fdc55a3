"""What a person types. Commands are loaded when they are called; click ends here."""
