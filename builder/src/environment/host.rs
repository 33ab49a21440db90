//! The host environment: this machine's /usr and toolchains, read-only.
