mod chance;
mod flaws;
mod stories;
mod world;
