mod chance;
mod stories;
mod world;
