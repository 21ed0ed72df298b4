//! The vault as its callers see it, on real folders.
