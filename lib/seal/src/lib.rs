//! The post-quantum age recipient mlkem768x25519 (C2SP age).
