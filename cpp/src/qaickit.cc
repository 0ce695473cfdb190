// The shared library's own source file; its code comes from the layers.
