//! What a client and smrd say under a session; sans-IO.
