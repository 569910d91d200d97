"""What makes a bulk job resumable: finished rows on disk, the answers to equal rows, limits shared by workers."""
