//! Walkers of containers whose every byte may be hostile.
