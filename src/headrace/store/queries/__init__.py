"""SQL builders, by subject. Pure: they run nothing and name no driver."""
