"""V, M and M's rival, in Keras: the VAE, mixture densities, the MDN-RNN, the ensemble, how they are trained and how they are measured."""
