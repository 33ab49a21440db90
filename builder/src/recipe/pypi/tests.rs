//! Tests of the recipe for Python packages.
