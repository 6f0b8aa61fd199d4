"""One file per tab: a pure view function, a build function, named handlers."""
