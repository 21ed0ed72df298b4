//! cardsim
fn main() {}
