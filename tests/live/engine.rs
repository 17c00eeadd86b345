//! The engine room on real engines, old and new.

mod building;
mod ending;
mod failing;
mod pushing;
mod reaching;
mod running;
mod same;
