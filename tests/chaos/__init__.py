"""The proof: every crash point of every story, random schedules with every fault, and mutants of the guards."""
