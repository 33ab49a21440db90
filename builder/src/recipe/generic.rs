//! The generic recipe: commands, variables and outputs from the configuration.
