"""What tests of Keras files share: nothing at present."""
