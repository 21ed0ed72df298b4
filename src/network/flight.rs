//! Messages of one connection that wait for their answers. The number of places is the in-flight bound.

use crate::iso8583::HeaderBytes;
use bytes::Bytes;
use std::time::Instant;

/// A request that waits: its bytes are needed again for the fields that its answer repeats.
#[derive(Debug)]
pub struct InFlight {
    pub header: HeaderBytes,
    pub body: Bytes,
    pub received: Instant,
    /// The id that was set aside for it.
    pub id: u64,
    /// Its approval is being taken back: whatever comes of that is its answer.
    pub is_withheld: bool,
}

#[derive(Debug)]
pub struct Flights {
    places: Vec<Option<InFlight>>,
    free: Vec<u32>,
    bound: usize,
}

impl Flights {
    pub fn new(bound: usize) -> Flights {
        Flights {
            places: Vec::new(),
            free: Vec::new(),
            bound,
        }
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Places left.
    pub fn room(&self) -> usize {
        self.bound.saturating_sub(self.len())
    }

    /// Keeps a request; the token names it in the answer.
    pub fn depart(&mut self, flight: InFlight) -> u32 {
        match self.free.pop() {
            Some(token) => {
                self.places[token as usize] = Some(flight);
                token
            }
            None => {
                self.places.push(Some(flight));
                self.places.len() as u32 - 1
            }
        }
    }

    pub fn get(&self, token: u32) -> Option<&InFlight> {
        self.places.get(token as usize)?.as_ref()
    }

    /// The request that a token names, once.
    pub fn land(&mut self, token: u32) -> Option<InFlight> {
        let flight = self.places.get_mut(token as usize)?.take()?;
        self.free.push(token);
        Some(flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight() -> InFlight {
        InFlight {
            header: HeaderBytes::new(),
            body: Bytes::new(),
            received: Instant::now(),
            id: 0,
            is_withheld: false,
        }
    }

    #[test]
    fn each_token_lands_once_and_places_are_used_again() {
        let mut flights = Flights::new(2);
        let (first, second) = (flights.depart(flight()), flights.depart(flight()));
        assert!(flights.is_full());
        assert!(flights.land(first).is_some());
        assert!(flights.land(first).is_none());
        assert_eq!(flights.depart(flight()), first);
        assert!(flights.land(second).is_some() && flights.land(99).is_none());
        assert_eq!(flights.len(), 1);
    }
}
