"""Sets of a service's healthy instances, for programs: known, kept current, picked from."""
