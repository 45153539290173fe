"""`analyze browse`: a capture in a terminal, without a mouse. Only `app` needs textual."""
