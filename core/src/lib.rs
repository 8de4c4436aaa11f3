//! The sending half of a mediasoup v2 client.
