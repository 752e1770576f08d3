"""Questions as SQL: pure builders, by what they ask about. They run nothing and name no driver."""
