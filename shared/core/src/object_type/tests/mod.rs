mod create;
mod cycles;
mod delete;
mod lists;
mod update;
