"""This build beside an older one and beside other servers, in one table with what is wanted."""
