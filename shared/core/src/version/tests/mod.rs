mod diff;
mod history;
