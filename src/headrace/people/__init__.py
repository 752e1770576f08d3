"""Who is one person, and what is known of them. Pure: statements and what is remembered give what to remember."""
