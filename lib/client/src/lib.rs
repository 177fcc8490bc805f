//! What the tools share: home, key ring, tokens, sessions.
