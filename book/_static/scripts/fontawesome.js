// Stands in for the theme's script of the same name, which weighs 1.5 MB and redraws icons
// that the theme's stylesheet already draws from its icon font.
