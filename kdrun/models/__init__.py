"""Teachers, students and generators: load, build, pretrain."""
