"""Any program run while a lock is held: `consulfwd lock`."""
