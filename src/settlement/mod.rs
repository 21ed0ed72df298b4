//! Settlement: what the switch owes the networks, by business date. Clearing input and matching come
//! here later.
