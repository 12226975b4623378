"""The intermediate form: stages (affine loops around a statement) and nests (stages scheduled)."""
