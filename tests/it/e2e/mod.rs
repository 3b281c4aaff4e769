//! Whole operations over the simulated cluster of real processes, from the call to its end; and the programs as people run them.

pub mod cancel;
pub mod clusters_stop;
pub mod demo;
pub mod diagnosis;
pub mod drain;
pub mod force;
pub mod freeze;
pub mod holds;
pub mod real_engine;
pub mod refusals;
pub mod right_process;
pub mod rollback;
pub mod rollouts;
pub mod serve;
pub mod shutdown;
pub mod sim;
pub mod ssh;
pub mod stalled;
pub mod start_process;
pub mod start_restart;
pub mod stop_server;
pub mod traces;
pub mod zones;
