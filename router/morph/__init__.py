"""Morph: changes to the header of an instance, one file per step.

Each step file exports PLUGS; `apply.compile_recipe` turns a recipe into one function that edits an
EditableDataSet. A step that cannot do its work raises MorphFailed, and nothing is sent.
"""
