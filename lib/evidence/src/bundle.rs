//! Evidence bundles: a message, its receipts and all that proves them, in one zip.
//!
//! Believes nothing it carries: the anchors are the reader's own.
