"""Analysis of captures: runs anywhere, needs neither root nor bcc."""
