//! Noise with our randomness.
