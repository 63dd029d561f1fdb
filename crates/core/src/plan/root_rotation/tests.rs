//! The rotation, played against a user and a Secret in memory, in virtual time.

mod crashes;
mod stories;
mod world;
