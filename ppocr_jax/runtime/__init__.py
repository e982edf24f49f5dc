"""The process around a program: platform, compiler options, caches, cores, memory, interrupts."""
