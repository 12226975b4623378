"""The intermediate form: stages (affine loop nests around one statement) and nests (stages
scheduled)."""
