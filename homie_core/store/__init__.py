"""What must outlive a process: keys and pins, the journal of jobs, their events, and bytes on their way."""
