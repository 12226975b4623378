"""From a stage and a machine to a loop nest: dataflows by rule, the mapper by search."""
