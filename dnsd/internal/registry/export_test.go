package registry

// FormatCeiling is what a ceiling's file holds.
var FormatCeiling = formatCeiling
