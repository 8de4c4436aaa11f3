//! Bodies of the fuzz targets and the reference model
