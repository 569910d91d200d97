"""The state of a bulk job: finished rows on disk, the answers to equal rows, limits shared by workers."""
